// Tiles are numbered along rows, from image to image. A cursor goes `hop` tiles at a time.

#pragma once

// Filled by the kernels: a constructor for both changes their machine code.
struct Grid {
  int down, across;  // tiles of an image
  int hop_images, hop_y, hop_x;
};

struct Cursor {
  int image, y, x;  // in tiles

  __device__ __forceinline__ Cursor(const Grid &grid, int number) {
    int line = number / grid.across;
    x = number - line * grid.across;
    image = line / grid.down;
    y = line - image * grid.down;
  }

  __device__ __forceinline__ void advance(const Grid &grid) {
    x += grid.hop_x, y += grid.hop_y, image += grid.hop_images;
    if (x >= grid.across) x -= grid.across, y++;
    if (y >= grid.down) y -= grid.down, image++;
  }
};
