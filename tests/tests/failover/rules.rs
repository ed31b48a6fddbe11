//! The rules of failover, each broken by its counterexample if it is left out.
