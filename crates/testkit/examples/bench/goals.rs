//! The goals of the benchmark, and whether they are met. Refuses to be lenient: of several figures the worst counts.

use crate::figures::round;
use serde_json::{Value, json};

/// What was measured, one figure for each goal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// The median of an order alone, in milliseconds.
    pub order_p50_ms: f64,
    /// Orders a second at the best number in flight.
    pub(crate) orders_per_second: f64,
    /// Whether all that was ordered was completed, exactly once.
    pub(crate) is_whole: bool,
    /// Queries and commands a second while idle.
    pub(crate) idle_queries: f64,
    /// Resident memory of the four services while idle, in MB.
    pub(crate) idle_mb: f64,
    /// The slowest start of any service, in milliseconds.
    pub(crate) ready_ms: f64,
}

/// Sets each figure beside its goal.
pub(crate) fn judged(measured: &Measured) -> Value {
    let most = |goal: &str, target: f64, figure: f64| json!({ "goal": goal, "at_most": target, "measured": round(figure), "met": figure <= target });
    json!([
        most("three-step order, one in flight, p50 ms", 8.0, measured.order_p50_ms),
        {
            "goal": "orders a second at saturation",
            "at_least": 500.0,
            "measured": round(measured.orders_per_second),
            "met": measured.orders_per_second >= 500.0 && measured.is_whole,
        },
        {
            "goal": "idle, queries and commands a second in all",
            "below": 1.0,
            "measured": round(measured.idle_queries),
            "met": measured.idle_queries < 1.0,
        },
        most("idle, resident memory of the four services, MB", 60.0, measured.idle_mb),
        most("ready after the start, slowest service, ms", 300.0, measured.ready_ms),
    ])
}
