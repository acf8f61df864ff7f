//! The words of Syncline as types. Owns no rule beyond "this value is well formed".

mod body;
mod error;
mod ids;
mod limits;
mod live;
mod mend;
mod op;
mod packet;
mod push;
mod receipt;
mod reply;
mod rows;
mod rule;
mod seqs;
mod stamp;
mod strategy;
mod version;

pub use body::{Body, Facts, Fields, TimeFields, Value};
pub use error::{Kind, Malformed, counted, innermost, plain_words, with_causes};
pub use ids::{
    Author, BatchId, CollectionName, Cursor, DocId, Epoch, EventName, Lsn, NodeId, RoomName, Seq, SpaceName, View,
};
pub use limits::Limits;
pub use live::{LiveBatch, LiveEdit, LiveEvent};
pub use mend::{Mend, MendAct};
pub use op::{Base, Edit, Op, OpKey};
pub use packet::{
    Dispatch, Entity, EntityEdit, Fill, Holding, Known, LastPacket, Packet, Plan, Reached, Refused, Registration,
    Settled, Traffic,
};
pub use push::{Claim, Expiry, ForeignBatch, ForeignEdit, ForeignOp, Intake, OwnBatch, Poison, Step};
pub use receipt::{Receipt, Rejection, Verdict};
pub use reply::{
    LateConflict, LateConflicts, Lost, PacketReceipt, Page, PageEdit, PageOp, PushReply, SnapshotEnd, SnapshotHead,
    Views,
};
pub use rows::RowFilters;
pub use rule::{CollectionRule, Demands, Shape, TooLong, UniqueKey, UniqueValue};
pub use seqs::Seqs;
pub use stamp::{Clock, Millis, Stamp};
pub use strategy::Strategy;
pub use version::{Mark, Meta, Version};
