"""What late interaction is made of: encoding into token vectors, fewer of them for a text, and the MaxSim score."""
