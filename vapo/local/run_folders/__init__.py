"""The folders of runs on this machine: what lies in one, how the run goes or ended, which there are."""
