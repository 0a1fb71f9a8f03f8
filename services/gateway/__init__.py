"""The REST front: prompts and data sets in; rollouts, metrics, evaluations and the fleet out."""
