//! An error before it has a wire format. Refuses to know which provider will word it.

/// What is wrong with a request, or which fault is played instead of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// The provider's error type, when it is not the one that goes with the status.
    pub(crate) kind: Option<&'static str>,
    /// The field that is to blame, dotted.
    pub(crate) param: Option<Box<str>>,
    /// OpenAI's `code`, Anthropic's `details.error_code`, Gemini's `reason` or quota id.
    pub(crate) code: Option<&'static str>,
    /// Seconds that Gemini's RetryInfo names.
    pub(crate) retry_info: Option<Box<str>>,
    /// Headers that go with it.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Problem {
    /// An error with its status and sentence.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), ..Self::default() }
    }

    /// A 400 that names the field.
    pub(crate) fn field(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(400, message) }
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn kind(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }
}
