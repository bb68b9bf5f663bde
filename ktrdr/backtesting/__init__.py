"""The simulation kernel and its statistics; knows no operation and no database."""
