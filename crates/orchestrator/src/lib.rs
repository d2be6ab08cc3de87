//! Plans, asks, settles, delivers, sweeps.
