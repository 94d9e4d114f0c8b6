//! Who may do what.

use std::fmt;
use std::str::FromStr;

named_enum! {
    /// What a token is good for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Role {
        /// Leases, heartbeats, results, new tasks.
        Worker = "worker",
        /// Reads everything.
        Viewer = "viewer",
        /// Reads, and acts on what there is: backload, rerun, pause, acknowledge.
        Operator = "operator",
        /// Everything but what only a push token may.
        Admin = "admin",
        /// Results and file events by an address that holds the token, for senders that can set nothing else.
        Push = "push",
    }
}

/// Not the name of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: write worker, viewer, operator, admin or push")]
pub struct InvalidRole(String);

impl Role {
    /// Whether this role may do what asks for `needed`. A token in an address is seen by more eyes than one in a header,
    /// so only one that is good for nothing else may stand there.
    pub fn covers_role(self, needed: Self) -> bool {
        match self {
            // A token of such power must not stand in an address, where logs see it.
            Self::Admin => needed != Self::Push,
            Self::Operator => matches!(needed, Self::Operator | Self::Viewer),
            Self::Worker | Self::Viewer | Self::Push => self == needed,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::from_name(text).ok_or_else(|| InvalidRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_covers_what_the_contract_says() {
        use Role::{Admin, Operator, Push, Viewer, Worker};
        let covers: Vec<(Role, Role)> = Role::ALL
            .into_iter()
            .flat_map(|role| Role::ALL.map(|needed| (role, needed)))
            .filter(|(role, needed)| role.covers_role(*needed))
            .collect();
        assert_eq!(
            covers,
            [
                (Worker, Worker),
                (Viewer, Viewer),
                (Operator, Viewer),
                (Operator, Operator),
                (Admin, Worker),
                (Admin, Viewer),
                (Admin, Operator),
                (Admin, Admin),
                (Push, Push),
            ]
        );
    }

    #[test]
    fn names_read_back_and_others_are_refused() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().unwrap_err().to_string().contains("worker, viewer, operator, admin or push"));
    }
}
