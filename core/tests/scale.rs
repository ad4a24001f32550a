//! What the benchmark `scale` measures, as far as it can be counted: bytes and allocations of a member,
//! and that neither grows with the group.

#![expect(
    clippy::cast_precision_loss,
    reason = "counts of thousands are compared as shares"
)]

#[path = "../scale/mod.rs"]
mod scale;

use scale::flood::{self, Flood};
use scale::heap;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap;

/// What one member costs when half of all die and half fall sick at once.
#[derive(Debug)]
struct Each {
    /// Bytes at most, its share of the plan included.
    bytes: f64,
    /// Allocations to decide and to write it down.
    decided: f64,
    /// Allocations to explain it.
    explained: f64,
    rows: f64,
    /// Bytes of text in these rows.
    text: f64,
}

fn each(groups: u32, members: u32) -> Each {
    heap::counting(true);
    let count = f64::from(groups * members);
    let start = heap::counts().live;
    let plan = flood::plan(groups, members);
    let mut flood = Flood::of_healthy_members(&plan);
    flood.sicken();
    let sick = heap::counts().live;
    let blow = flood.blow();
    let before = heap::counts().calls;
    flood.strike(blow);
    let struck = heap::counts();
    flood.explain();
    let explained = heap::counts().calls;
    assert!(flood.seen.events >= flood.seen.decisions);
    Each {
        bytes: (sick.max(struck.live) - start) as f64 / count,
        decided: (struck.calls - before) as f64 / count,
        explained: (explained - struck.calls) as f64 / count,
        rows: flood.seen.rows as f64 / count,
        text: flood.seen.bytes as f64 / count,
    }
}

#[test]
fn a_member_takes_two_kibibytes_and_costs_the_same_in_a_large_group() {
    let (usual, large) = (each(3, 100), each(1, 800));
    for (each, name) in [(&usual, "3 groups of 100"), (&large, "a group of 800")] {
        assert!(each.bytes <= 2_048.0, "{name}: {each:?}");
        assert!(each.decided <= 20.0, "{name}: {each:?}");
        assert!(each.explained <= 33.0, "{name}: {each:?}");
        assert!(each.rows <= 4.5, "{name}: {each:?}");
        assert!(each.text <= 2_800.0, "{name}: {each:?}");
    }
    let grows = |usual: f64, large: f64| large > usual * 1.1;
    assert!(!grows(usual.decided, large.decided), "{usual:?} {large:?}");
    assert!(
        !grows(usual.explained, large.explained),
        "{usual:?} {large:?}"
    );
    assert!(!grows(usual.rows, large.rows), "{usual:?} {large:?}");
}
