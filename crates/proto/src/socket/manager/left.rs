//! [`Left`]: namespaces that the client was in on the connection that is open, and has left.

use std::collections::VecDeque;

/// So many are remembered: those that were left last.
const NAMES_MAX: usize = 1_024;

/// Namespaces that were left. What still comes from one is of the time before, and no fault of the server.
#[derive(Debug, Default)]
pub(super) struct Left {
    names: VecDeque<Box<str>>,
}

impl Left {
    pub(super) fn add(&mut self, namespace: &str) {
        if self.contains(namespace) {
            return;
        }
        if self.names.len() >= NAMES_MAX {
            self.names.pop_front();
        }
        self.names.push_back(namespace.into());
    }

    pub(super) fn contains(&self, namespace: &str) -> bool {
        self.names.iter().any(|name| **name == *namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_left_last_are_remembered() {
        let mut left = Left::default();
        for number in 0..=NAMES_MAX {
            left.add(&format!("/{number}"));
            left.add("/1");
        }
        assert!(!left.contains("/0") && left.contains("/2") && left.contains("/1024"));
        assert_eq!(left.names.len(), NAMES_MAX);
    }
}
