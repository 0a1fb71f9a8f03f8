"""What a run will need and what will limit it: pure functions on plain data, no torch.

Start reading at :mod:`vapo.planning.plan`.
"""
