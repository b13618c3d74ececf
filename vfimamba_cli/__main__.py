"""`python -m vfimamba_cli`, which is also what torchrun starts."""

from vfimamba_cli.cli.app import main

if __name__ == "__main__":
    main()
