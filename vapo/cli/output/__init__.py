"""What commands show: tables, lines, curves."""
