"""`python -m flagmart` is the command `flagmart`."""

from flagmart.cli import main

if __name__ == "__main__":
    main()
