//! One log line, as JSON or as text, with the service and replica that wrote it.
//! Refuses to know where the line goes.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::{LogFormat, trace};

/// Writes log lines for one replica of one service.
pub(crate) struct Line {
    pub(crate) service: &'static str,
    pub(crate) replica: String,
    pub(crate) format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut spans: Vec<(&'static str, String)> = Vec::new();
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map(|it| it.fields.clone()).unwrap_or_default();
            spans.push((span.name(), fields));
        }
        let trace = trace::entered().map(|it| it.trace_id());
        let mut fields = Fields::default();
        event.record(&mut fields);
        match self.format {
            LogFormat::Json => self.json(out, event, (&spans, trace, fields)),
            LogFormat::Pretty => self.text(out, event, (&spans, trace, fields)),
        }
    }
}

/// What a line tells beside who wrote it and when: its spans, its trace, and its own fields.
type Told<'line> = (&'line [(&'static str, String)], Option<String>, Fields);

#[derive(Serialize)]
struct JsonLine<'line> {
    time: String,
    level: &'static str,
    service: &'line str,
    replica: &'line str,
    target: &'line str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spans: Vec<JsonSpan<'line>>,
}

#[derive(Serialize)]
struct JsonSpan<'line> {
    name: &'line str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'line RawValue>,
}

impl Line {
    fn json(&self, mut out: Writer<'_>, event: &Event<'_>, (spans, trace_id, fields): Told<'_>) -> fmt::Result {
        let line = JsonLine {
            time: now()?,
            level: event.metadata().level().as_str(),
            service: self.service,
            replica: &self.replica,
            target: event.metadata().target(),
            message: fields.message,
            trace_id,
            fields: fields.rest,
            spans: spans
                .iter()
                .map(|(name, fields)| JsonSpan { name, fields: serde_json::from_str(fields).ok() })
                .collect(),
        };
        writeln!(out, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }

    fn text(&self, mut out: Writer<'_>, event: &Event<'_>, (spans, trace_id, fields): Told<'_>) -> fmt::Result {
        let meta = event.metadata();
        let (level, target) = (meta.level(), meta.target());
        write!(out, "{} {level:5} {}@{} {target}: {}", now()?, self.service, self.replica, fields.message)?;
        for (name, value) in &fields.rest {
            write!(out, " {name}={value}")?;
        }
        for (name, fields) in spans {
            write!(out, " {name}{{{fields}}}")?;
        }
        if let Some(trace_id) = trace_id {
            write!(out, " trace_id={trace_id}")?;
        }
        writeln!(out)
    }
}

fn now() -> Result<String, fmt::Error> {
    let mut text = String::new();
    SystemTime.format_time(&mut Writer::new(&mut text))?;
    Ok(text)
}

/// An event's message and its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.rest.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
