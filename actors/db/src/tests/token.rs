//! Tokens are added once, read, and removed.

use flowlord_domain::Role;
use flowlord_messages::tokens::{AddToken, ReadTokens, RemoveToken};

use super::*;

#[actix::test]
async fn a_token_is_added_once_and_gone_when_removed() {
    let db = Db::new();
    let add =
        |name: &str, byte| AddToken { now: noon(), name: name.to_owned(), role: Role::Operator, hash: [byte; 32] };
    db.write(add("ann", 1)).await.unwrap();
    assert_eq!(code(db.write(add("ann", 2)).await), Code::InvalidRequest);
    db.write(add("bob", 3)).await.unwrap();
    let db = db.reopen();
    let tokens = db.read(ReadTokens).await.unwrap();
    let names: Vec<_> = tokens.iter().map(|token| (token.name.as_str(), token.role, token.hash[0])).collect();
    assert_eq!(names, [("ann", Role::Operator, 1), ("bob", Role::Operator, 3)]);
    db.write(RemoveToken { name: "ann".to_owned() }).await.unwrap();
    assert_eq!(code(db.write(RemoveToken { name: "ann".to_owned() }).await), Code::TokenUnknown);
    assert_eq!(db.read(ReadTokens).await.unwrap().len(), 1);
}
