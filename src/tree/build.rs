// SPDX-License-Identifier: MIT
//! From the entries of a folder to the chunks of its tree: sorted, checked for twins, split at
//! borders that depend on names.

use crate::base::id::ID_BYTES;
use crate::base::path::display_bytes;
use crate::base::{Error, Kind, Result, limits};
use crate::format::{Node, Tree};

/// Bytes of the longest number in a record.
const VARINT_BYTES_MAX: usize = 10;

/// Sorts the entries of one folder; two of the same name are an error.
pub fn sort_nodes(nodes: &mut [Node]) -> Result<()> {
    nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let twin = nodes.windows(2).find_map(|pair| match pair {
        [a, b] if a.name == b.name => Some(&a.name),
        _ => None,
    });
    match twin {
        None => Ok(()),
        Some(name) => Err(Error::new(Kind::Parsing, format!("store '{}'", display_bytes(name)))
            .why("its folder has two entries of this name")),
    }
}

/// Splits sorted entries into the runs that become one tree chunk each. An empty folder is one
/// empty run.
pub fn split_nodes(nodes: &[Node]) -> Vec<&[Node]> {
    let mut runs = Vec::new();
    let mut rest = nodes;
    loop {
        let cut = run_length(rest);
        let (run, after) = rest.split_at(cut);
        runs.push(run);
        if after.is_empty() {
            return runs;
        }
        rest = after;
    }
}

fn run_length(nodes: &[Node]) -> usize {
    let border = nodes
        .iter()
        .take(limits::TREE_NODES_MAX)
        .skip(limits::TREE_NODES_MIN - 1)
        .position(|node| Tree::ends_after(&node.name));
    let longest = nodes.len().min(limits::TREE_NODES_MAX);
    let by_name = border.map_or(longest, |place| (place + limits::TREE_NODES_MIN).min(longest));
    // Long chunk lists, many holes or large attributes: a run must fit into a blob all the same.
    let mut bytes = 0;
    let fits = |node: &&Node| {
        bytes += encoded_bytes_max(node);
        bytes <= limits::TREE_BYTES_MAX
    };
    nodes.iter().take(by_name).take_while(fits).count().max(1).min(by_name)
}

/// What an encoded node needs at most.
fn encoded_bytes_max(node: &Node) -> usize {
    let meta = &node.meta;
    let xattrs = meta.xattrs.iter().map(|(name, value)| name.len() + value.len() + 16);
    let owners = meta.user.len() + meta.group.len();
    256 + node.name.len()
        + meta.target.len()
        + owners
        + xattrs.sum::<usize>()
        + node.chunks.len() * ID_BYTES
        + node.extents.len() * 2 * VARINT_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: impl Iterator<Item = usize>) -> Vec<Node> {
        let mut nodes: Vec<Node> = numbers
            .map(|n| Node { name: format!("mail-{n:07}").into_bytes(), ..Node::default() })
            .collect();
        sort_nodes(&mut nodes).unwrap();
        nodes
    }

    #[test]
    fn splitting_loses_nothing_and_respects_the_bounds() {
        for count in [0, 1, 63, 64, 65, 1024, 1025, 20_000] {
            let all = nodes(0..count);
            let runs = split_nodes(&all);
            assert_eq!(runs.concat().len(), count);
            assert!(runs.iter().all(|run| run.len() <= limits::TREE_NODES_MAX));
            assert!(runs.iter().rev().skip(1).all(|run| run.len() >= limits::TREE_NODES_MIN));
        }
    }

    #[test]
    fn runs_of_heavy_nodes_stay_small() {
        let mut heavy = nodes(0..3000);
        for (n, node) in heavy.iter_mut().enumerate() {
            match n % 3 {
                0 => node.chunks = vec![crate::base::ChunkId([7; 32]); 512],
                1 => node.meta.xattrs = vec![(b"user.x".to_vec(), vec![7; 200_000])],
                _ => node.extents = vec![(u64::MAX / 2, 1 << 40); 4096],
            }
        }
        let runs = split_nodes(&heavy);
        assert_eq!(runs.concat().len(), 3000);
        let largest = runs.iter().map(|run| Tree::encode(run).len()).max().unwrap();
        assert!(largest <= limits::TREE_BYTES_MAX, "{largest}");
    }

    #[test]
    fn one_more_entry_changes_few_runs() {
        let before = nodes(0..20_000);
        let after = nodes((0..20_000).chain([999_999]));
        let inserted = nodes((0..20_000).filter(|n| *n != 7_777));
        let before: Vec<_> = split_nodes(&before).into_iter().map(Tree::encode).collect();
        for changed in [after, inserted] {
            let changed: Vec<_> = split_nodes(&changed).into_iter().map(Tree::encode).collect();
            let fresh = changed.iter().filter(|run| !before.contains(run)).count();
            assert!(fresh <= 3, "{fresh} of {}", changed.len());
        }
    }

    #[test]
    fn twins_are_refused() {
        let mut twins = vec![Node { name: b"a".to_vec(), ..Node::default() }; 2];
        assert_eq!(sort_nodes(&mut twins).unwrap_err().kind(), Kind::Parsing);
    }
}
