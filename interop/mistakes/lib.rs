//! Nothing: what is here is in `server` and `client`, and does not compile.
