//! Bugs that can be planted in a world, to see what its checks are worth. Each is put where the product has a seam: into
//! the store under the hub, the hub's side of the network, or a device around its session and its database. The product
//! itself knows nothing of them.

/// A mistake that sync engines are known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The hub does not know an op again: its receipt was not kept.
    ReceiptForgotten,
    /// The hub knows batches by their ids only: the same ops in another batch are new to it.
    KnownByBatchOnly,
    /// A full disk is not noticed: what could not be written is answered as if it were.
    FailureSwallowed,
    /// The hub answers a push before it lasts: a restart loses the last commit.
    AnsweredTooEarly,
    /// A position is given before its row can be read: readers pass it.
    LsnOutsideLock,
    /// A page says that it reaches the log's end, although there is more.
    PageSaysHead,
    /// A wake-up carries the change that caused it, and the log is not asked.
    HintForLog,
    /// The answer to a push moves the device's cursor.
    CursorByPush,
    /// A device stores the cursor of a page before its documents: a crash comes between them.
    TwoTransactions,
    /// The documents of a snapshot are read before its position.
    SnapshotTwoReads,
    /// A device that resumed a snapshot reads on from where its last part was read.
    ResumedFromLast,
    /// The hub forgets removals that a device has not heard of, and answers it all the same.
    TrimmedTooEarly,
    /// A hub that was restored from a backup goes on under its old epoch.
    OldEpochKept,
    /// The ledger does not get the row of an edit that lost.
    LedgerRowForgotten,
    /// The quarantine does not get the op that the hub has rejected.
    QuarantineRowForgotten,
    /// A device drops what it has not sent of documents that it pulls.
    RebaseForgotten,
    /// The ops of one transaction travel in two batches.
    TransactionSplit,
    /// A clock that is ahead wins for ever.
    ClampMissing,
    /// What a reader asked for is not looked at: it gets every collection.
    ScopeIgnored,
    /// An op that cannot be applied is answered with an error, and everything behind it waits.
    PoisonBlocks,
    /// A device repeats at once what has failed.
    RetriesAtOnce,
    /// A device does not say that its work is stuck.
    StallHidden,
    /// The hub does not look whether a number stands for what it stood for before: copies of a database share their
    /// numbers.
    CopyNotSeen,
    /// The hub does not know a packet again.
    PacketForgotten,
    /// The hub takes the number of a foreign client for what it has read.
    TicketIgnored,
    /// The hub does not know an op of a foreign client again.
    ForeignOpForgotten,
    /// A row of the ledger is restored as often as somebody asks for it.
    RestoredTwice,
    /// The hub does not look at the rules of a collection.
    RuleIgnored,
    /// The hub does not look at the rows that a token opens.
    RowsIgnored,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 29] = [
        Bug::ReceiptForgotten,
        Bug::KnownByBatchOnly,
        Bug::FailureSwallowed,
        Bug::AnsweredTooEarly,
        Bug::LsnOutsideLock,
        Bug::PageSaysHead,
        Bug::HintForLog,
        Bug::CursorByPush,
        Bug::TwoTransactions,
        Bug::SnapshotTwoReads,
        Bug::ResumedFromLast,
        Bug::TrimmedTooEarly,
        Bug::OldEpochKept,
        Bug::LedgerRowForgotten,
        Bug::QuarantineRowForgotten,
        Bug::RebaseForgotten,
        Bug::TransactionSplit,
        Bug::ClampMissing,
        Bug::ScopeIgnored,
        Bug::PoisonBlocks,
        Bug::RetriesAtOnce,
        Bug::StallHidden,
        Bug::CopyNotSeen,
        Bug::PacketForgotten,
        Bug::TicketIgnored,
        Bug::ForeignOpForgotten,
        Bug::RestoredTwice,
        Bug::RuleIgnored,
        Bug::RowsIgnored,
    ];

    /// Its name on the command line: the words of the variant with hyphens.
    #[must_use]
    pub fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name
    }

    /// The bug with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Bug> {
        Bug::ALL.into_iter().find(|bug| bug.name() == name)
    }
}
