//! `{group} {member} {index} {port}` in the texts that start a member.

use checkd_core::config::placeholder::{self, Placeholder};
use checkd_core::plan::{GroupPlan, MemberPlan};

/// Replaces every placeholder in `text`. Braces around anything else stay as they are: validation
/// has already refused what looks like a misspelt placeholder.
///
/// # Errors
/// `{port}` for a member that has no port.
pub(super) fn fill(text: &str, group: &GroupPlan, member: &MemberPlan) -> Result<String, String> {
    placeholder::fill(text, |asked| match asked {
        Placeholder::Group => Some(group.name.to_string()),
        Placeholder::Member => Some(member.name.to_string()),
        Placeholder::Index => Some(member.index.to_string()),
        Placeholder::Port => member.port.map(|port| port.to_string()),
        Placeholder::Pid => None,
    })
    .map_err(|missing| {
        if missing == Placeholder::Port {
            return format!("`{text}` needs a port, and the group sets no `ports`");
        }
        format!(
            "`{text}` asks for `{{{}}}` before the start",
            missing.as_str()
        )
    })
}
