//! The chavion command.
