//! What must not stand in evidence: the values of secrets that a member was started with.

/// A value that is shorter would hide half of every text.
const SHORTEST: usize = 4;
const HIDDEN: &str = "[secret]";

/// Values to hide, the longest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Hide {
    values: Vec<String>,
}

impl Hide {
    pub(super) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut values = Vec::new();
        for secret in secrets {
            // A key of many lines may be shown without some of them.
            if secret.contains('\n') {
                values.extend(secret.lines().map(|line| line.trim().to_owned()));
            }
            values.push(secret);
        }
        values.retain(|value| value.trim().len() >= SHORTEST);
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// `text` without the values.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), HIDDEN);
            }
        }
        text
    }

    /// The end of `bytes`, at most `max` of them, without the values; also without the rest of one
    /// that begins before the end does.
    pub(super) fn tail(&self, bytes: &[u8], max: usize) -> String {
        let longest = self.values.first().map_or(0, String::len);
        let from = bytes.len().saturating_sub(max.saturating_add(longest));
        let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
        let hidden = self.hide(&text);
        if from == 0 && bytes.len() <= max {
            return hidden;
        }
        let mut at = longest
            .min(hidden.len())
            .max(hidden.len().saturating_sub(max));
        while !hidden.is_char_boundary(at) {
            at += 1;
        }
        hidden.get(at..).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Hide;

    #[test]
    fn values_are_hidden_whole_by_line_and_at_the_edge() {
        let hide = Hide::new([
            "hunter2-hunter2".to_owned(),
            "abc".to_owned(),
            "BEGIN\nline-one\nEND!".to_owned(),
        ]);
        assert_eq!(hide.hide("k=hunter2-hunter2, abc"), "k=[secret], abc");
        assert_eq!(hide.hide("BEGIN\nline-one\nEND!"), "[secret]");
        assert_eq!(hide.hide("x line-one y"), "x [secret] y");
        // However the end is cut, no piece of the value is left.
        let text = format!("{}hunter2-hunter2{}", "x".repeat(50), "z".repeat(30));
        for max in 1..=100 {
            let tail = hide.tail(text.as_bytes(), max);
            assert!(
                !tail.contains("unter2") && !tail.contains("r2-h"),
                "{max}: {tail}"
            );
            assert!(!tail.contains("2zz"), "{max}: {tail}");
        }
        assert_eq!(Hide::default().tail("aüb".as_bytes(), 1), "b");
    }
}
