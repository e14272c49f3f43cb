//! People's words for numbers: bytes, spans, times, plurals.
