import pytest

from vfimamba_cli.data.vimeo90k import read_triplets
from vfimamba_cli.errors import InputError


def test_a_split_lists_the_three_files_of_each_of_its_sequences_in_order(tmp_path):
    (tmp_path / "tri_testlist.txt").write_text("00002/0001\n00001/0266\n\n")
    (tmp_path / "tri_trainlist.txt").write_text("00003/0007\n")
    found = read_triplets(tmp_path, "test")
    assert list(found) == ["00002/0001", "00001/0266"]
    folder = tmp_path / "sequences/00001/0266"
    assert found["00001/0266"] == (folder / "im1.png", folder / "im2.png", folder / "im3.png")
    assert list(read_triplets(tmp_path, "train")) == ["00003/0007"]


@pytest.mark.parametrize("content", [None, b"\n", b"\xff\xfe"])
def test_without_a_list_the_error_says_where_to_get_the_set(tmp_path, content):
    if content is not None:
        (tmp_path / "tri_testlist.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"tri_testlist\.txt") as raised:
        read_triplets(tmp_path, "test")
    assert "toflow.csail.mit.edu" in raised.value.hint
