//! `{group} {member} {index} {port}` in the texts that start a member.

use checkd_core::plan::{GroupPlan, MemberPlan};

/// Replaces every placeholder in `text`. Braces around anything else stay as they are: validation
/// has already refused what looks like a misspelt placeholder.
///
/// # Errors
/// `{port}` for a member that has no port.
pub(super) fn fill(text: &str, group: &GroupPlan, member: &MemberPlan) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match name {
            "group" => filled.push_str(group.name.as_str()),
            "member" => filled.push_str(member.name.as_str()),
            "index" => filled.push_str(&member.index.to_string()),
            "port" => match member.port {
                Some(port) => filled.push_str(&port.to_string()),
                None => {
                    return Err(format!(
                        "`{text}` needs a port, and the group sets no `ports`"
                    ));
                }
            },
            _ => {
                filled.push('{');
                rest = after;
                continue;
            }
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}
