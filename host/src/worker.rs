//! `checkd worker`: the child process that loads one library and speaks the worker protocol.
