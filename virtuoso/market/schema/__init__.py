"""Which columns and which kinds of events there are, with units and how long they may be used."""
