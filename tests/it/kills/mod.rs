//! Killed at any point between two durable steps, checkd starts nobody twice and loses nothing.

mod brief;
mod random;
mod stage;
mod walk;
