"""What a program of ours does to be started and ended in order; used by every part."""
