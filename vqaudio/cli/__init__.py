"""The command line. Commands import what they need when they run: torch takes two seconds."""

from vqaudio.cli.app import main

__all__ = ["main"]
