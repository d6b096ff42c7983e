"""`python -m serving.console`: the review desk alone."""

from serving.console.command import console_app

if __name__ == "__main__":
    console_app(prog_name="python -m serving.console")
