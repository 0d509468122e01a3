"""The journal: every verdict on disk before anyone acts on it or hears of it, with the pictures it keeps."""
