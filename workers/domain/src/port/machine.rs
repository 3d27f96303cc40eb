//! The machine: whether it was restarted, and how much it can still carry.

/// Looks at the machine. No call blocks beyond a read of what the kernel keeps ready.
pub trait Machine: Send + Sync + 'static {
    /// The number of this boot; `None` when the system does not tell, which is no verdict about anything.
    fn boot(&self) -> Option<String>;

    /// Memory that a new program could use without anything being swapped out, in MiB, by the tightest bound there is: the
    /// machine's own or its container's. `None` when the system does not tell.
    fn free_memory(&self) -> Option<u64>;

    /// A number that nobody can guess, as 32 lower-case hex digits.
    fn secret(&self) -> String;
}
