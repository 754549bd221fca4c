// SPDX-License-Identifier: MIT
//! Where the entries of a snapshot go when they are not written straight to a disk: a tarball, a
//! stream, a counter.

use crate::base::{RelPath, Result};
use crate::format::tree::Node;
use std::io::Read;

/// Takes the entries of a tree, folders before their content, siblings sorted by name.
pub trait Sink {
    /// Takes one entry. `content` yields exactly `node.meta.size` bytes of a file (holes as
    /// zeros) and nothing for anything else; it must be read to its end.
    fn entry(&mut self, path: &RelPath, node: &Node, content: &mut dyn Read) -> Result<()>;

    /// Ends the tree; what was written is complete and durable when this returns.
    fn finish(self: Box<Self>) -> Result<()>;
}
