//! How the plans of two results differ.

use serde_json::{Map, Value};

/// The fields that matter most, in this order. The others follow.
const FIRST: [&str; 8] =
    ["loop", "stream", "rate", "connections", "size", "pipeline", "duration_seconds", "messages"];

/// All fields that differ, with both of their values, or `None` if there are none.
pub(super) fn difference(ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Option<String> {
    let mut keys: Vec<_> =
        ours.keys().map(String::as_str).filter(|key| ours[*key] != theirs[*key]).collect();
    keys.sort_by_key(|key| FIRST.iter().position(|it| it == key).unwrap_or(FIRST.len()));
    let (first, others) = keys.split_first()?;
    let verb = if ["connections", "messages"].contains(first) { "are" } else { "is" };
    let [one, other] = [ours, theirs].map(|it| shown(&it[*first]));
    let mut text = format!("{first} {verb} {one} in one and {other} in the other");
    for key in others {
        text += &format!(", {key} {} and {}", shown(&ours[*key]), shown(&theirs[*key]));
    }
    Some(text)
}

fn shown(value: &Value) -> String {
    if value.is_null() { "none".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(ours: Value, theirs: Value) -> Option<String> {
        let [ours, theirs] = [ours, theirs].map(|it| it.as_object().expect("an object").clone());
        difference(&ours, &theirs)
    }

    #[test]
    fn all_differences_are_named_and_those_that_matter_most_come_first() {
        let one = json!({ "arrival": "uniform", "close": "fin", "loop": "closed", "rate": null,
            "size": 24, "verify": "full" });
        assert_eq!(text(one.clone(), one.clone()), None);
        let other = json!({ "arrival": "poisson", "close": "fin", "loop": "open", "rate": 5,
            "size": "1..9", "verify": "off" });
        assert_eq!(
            text(one, other).as_deref(),
            Some(
                "loop is \"closed\" in one and \"open\" in the other, rate none and 5, \
                 size 24 and \"1..9\", arrival \"uniform\" and \"poisson\", verify \"full\" and \"off\""
            )
        );
        let many = text(json!({ "connections": 3 }), json!({ "connections": 5 }));
        assert_eq!(many.as_deref(), Some("connections are 3 in one and 5 in the other"));
    }
}
