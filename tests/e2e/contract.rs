//! Owns the promise that a plugin which was built once works for ever: the rules of the contract,
//! and the components of every released version, which run on today's host.

mod callers;
mod corpus;
mod names;
mod wit;
mod words;
