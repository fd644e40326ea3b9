"""How well rankings answer queries: metrics, run files, and test collections in the BEIR layout."""
