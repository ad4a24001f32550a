//! The structures are laid out as the header says, and sizes that do not fit are told.

use std::mem::{align_of, offset_of};

use super::*;

#[test]
fn structures_are_as_large_as_the_header_s() {
    // What `sizeof` gives for version 1.0 on a 64-bit machine. They never become smaller or larger
    // here but with a new minor version of the header, and then the old sizes must still be taken.
    assert_eq!(size_of::<Text>(), 16);
    assert_eq!(size_of::<OptionTable>(), 56);
    assert_eq!(size_of::<MeasurementTable>(), 48);
    assert_eq!(size_of::<SampleTable>(), 56);
    assert_eq!(size_of::<KindTable>(), 112);
    assert_eq!(size_of::<PluginTable>(), 72);
    assert_eq!(size_of::<Host>(), 48);
    assert_eq!(size_of::<Run>(), 88);
    assert_eq!(align_of::<KindTable>(), 8);
    assert_eq!(offset_of!(KindTable, configure), 88);
    assert_eq!(offset_of!(Run, sink), 72);
    assert_eq!(offset_of!(SampleTable, measurement_size), 48);
}

#[test]
fn a_structure_is_read_as_far_as_both_sides_know_it() {
    let mut bytes = [1_u8; 200];
    bytes[..8].copy_from_slice(&200_usize.to_le_bytes());
    #[expect(unsafe_code, reason = "reads bytes of this test")]
    // SAFETY: there are so many bytes.
    let (larger, smaller): (PluginTable, PluginTable) =
        unsafe { (take(bytes.as_ptr(), 200), take(bytes.as_ptr(), 16)) };
    assert_eq!((larger.size, larger.kind_count), (200, usize::MAX / 255));
    assert_eq!((smaller.header_major, smaller.kind_count), (0x0101_0101, 0));

    assert_eq!(fits::<PluginTable>(72), Ok(()));
    assert_eq!(fits::<PluginTable>(200), Ok(()));
    for (size, told) in [
        (64, "has 64 bytes; 72 are needed"),
        (1 << 40, "are believed"),
    ] {
        let fault = fits::<PluginTable>(size).unwrap_err();
        assert!(fault.contains(told), "{fault}");
    }
}

#[test]
fn a_text_that_is_not_there_is_a_mark_and_not_nothing() {
    let text = |length| Text {
        data: std::ptr::null(),
        length,
    };
    #[expect(unsafe_code, reason = "reads texts of this test")]
    // SAFETY: NULL is never read.
    let (none, lacking) = unsafe { (text(0).copy(), text(5).copy()) };
    assert_eq!((&*none, &*lacking), ("", "\u{fffd}"));
}

fn declared(form: Form, required: bool, default: &str) -> Declared {
    let default = (!default.is_empty()).then(|| form.default(default).unwrap());
    Declared {
        name: "a".into(),
        meaning: "One.".into(),
        form,
        required,
        default,
    }
}

#[test]
fn each_form_reads_what_a_person_writes_and_refuses_the_rest() {
    for (form, good, read, bad) in [
        (Form::Text, r#""x""#, Read::Text("x".into()), "5"),
        (Form::Integer, "-5", Read::Integer(-5), r#""5""#),
        (Form::Number, "0.5", Read::Number(0.5), r#""5""#),
        (Form::Boolean, "true", Read::Integer(1), "1"),
        (Form::Span, r#""30s""#, Read::Integer(30_000), "30"),
        (Form::Size, r#""2KiB""#, Read::Integer(2048), r#""2""#),
        (Form::Percent, r#""25%""#, Read::Number(25.0), "25"),
        (Form::Port, r#""8080""#, Read::Integer(8080), "0"),
        (Form::Secret, r#""hush""#, Read::Text("hush".into()), "{}"),
    ] {
        let options = [declared(form, true, "")];
        let typed = options::read(&options, &format!(r#"{{"a":{good}}}"#)).unwrap();
        assert_eq!(typed.0.get("a"), Some(&read), "{form:?}");
        let refused = options::read(&options, &format!(r#"{{"a":{bad}}}"#)).unwrap_err();
        let of: Vec<_> = refused.iter().map(|problem| &*problem.option).collect();
        assert_eq!(of, ["a"], "{form:?}");
    }
}

#[test]
fn all_mistakes_are_told_together_and_a_default_holds() {
    let options = [declared(Form::Span, false, "30s")];
    let typed = options::read(&options, "{}").unwrap();
    assert_eq!(typed.0.get("a"), Some(&Read::Integer(30_000)));
    let refused = options::read(&[declared(Form::Span, true, "")], r#"{"b":1,"c":2}"#);
    let told = refused.unwrap_err().to_string();
    for words in [
        "`b`: unknown option; options: `a`",
        "`c`: unknown",
        "`a`: is required",
    ] {
        assert!(told.contains(words), "{told}");
    }
    assert!(Form::Span.default("30").is_err());
    assert!(Form::Secret.default("x").is_err());
    let schema = options::schema(&options);
    assert_eq!(schema["properties"]["a"]["default"], "30s");
    assert_eq!(schema["properties"]["a"]["format"], "span");
    assert_eq!(schema["additionalProperties"], false);
}
