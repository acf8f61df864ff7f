//! Seeded worlds for Syncline and the contract that every store passes. For tests only.
//!
//! What each promise is guarded by in the worlds, and what a simulation cannot hold:
//!
//! | promise | checked in the worlds by | and where a simulation cannot know |
//! |---|---|---|
//! | 1 durable | `world::promises`: every receipt that was given stands in the log, over restarts of the hub | `fsync`, files and kill -9: `syncline-cli` tests `faults`, contract `repeats` over a reopened store |
//! | 2 exactly one effect | `world::check`: no edit stands in two changes, transactions are whole; `world::promises`: a repeat gets the first receipt, nobody changed a document more often than it pushed ops; `world::watch`: a repeated packet changes nothing; an operator's decision counts once | |
//! | 3 ordered and gap-free | `world::promises`: each page and snapshot beside the recorded log; `world::check`: LSNs are 1, 2, 3 … | concurrent commits on an engine: contract `concurrency` |
//! | 4 convergent | `world::check`, `world::watch`, `world::foreign`, `world::live`: replicas at rest equal the hub's log; stamps are clamped | `syncline verify`: `syncline-cli` tests |
//! | 5 nothing lost in silence | `world::check`: every value stands in the log, the ledger or the quarantine | |
//! | 6 isolated | `world::promises`: no page leaves its scope; `world::rows`: no page leaves the rows of its token, nothing breaks a rule; `world::part`: nodes get their types and rows | tokens and grants: `syncline-server` test `access` |
//! | 7 never blocked by one | `world::check`: at rest nothing waits, whatever was rejected, full or asleep | |
//! | 8 bounded | `world::promises`: pages keep their limit, failed requests back off; `world::watch`: packets keep theirs | 503 with `Retry-After`, slow readers, bodies: `syncline-server` tests `limits` and `store_trouble` |
//! | 9 Redis is only a hint | worlds of troubles lose wake-ups, and pages are read from the log all the same | Redis itself: `syncline-server` tests `rooms` |
//! | 10 truthful status | `world::promises`: what a device says of pending ops, stalls and its connection beside what was seen | health over HTTP: `syncline-server` tests `store_trouble` and `lifecycle` |
//!
//! What these checks are worth is shown by [`world::Bug`]: each is caught by the check of its promise.

pub mod contract;
pub mod world;
