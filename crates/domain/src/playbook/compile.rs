//! The templates of a playbook, compiled once and checked for what they mention.

use super::{
    PlaybookError, Step,
    mentions::{Place, Uses},
    read::StepDraft,
};
use crate::{
    document::{Document, Located},
    roster::is_name,
    task::Kind,
    template::{Engine, Expression, Misfit, Text},
};
use std::ops::Range;

/// The compiled side of a playbook; it says nothing that the playbook's own fields do not say.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) engine: Engine,
    pub(crate) steps: Vec<StepPlan>,
    pub(crate) report: Text,
    pub(crate) report_uses: Uses,
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The compiled side of one step.
#[derive(Debug)]
pub(crate) struct StepPlan {
    /// The places of the steps it needs directly.
    pub(crate) needs: Vec<usize>,
    pub(crate) title: Text,
    pub(crate) agent: Option<Text>,
    pub(crate) prompt: Text,
    pub(crate) for_each: Option<Expression>,
    pub(crate) when: Option<Expression>,
    /// Whether `when` is decided for each element.
    pub(crate) when_each: bool,
    pub(crate) uses: Uses,
    /// The rounds of asks from this step to the last, this one included.
    pub(crate) rounds: u32,
}

impl StepPlan {
    /// Returns the agents that are named literally: as a constant, or as a constant list of `item`s.
    pub(crate) fn named_agents(&self, step: &Step) -> Vec<String> {
        match (&self.agent, &self.for_each) {
            (Some(Text::Constant(name)), _) => vec![name.clone()],
            (Some(Text::Template(_)), Some(Expression::Constant(list)))
                if step.agent.as_deref().is_some_and(|agent| agent.replace(' ', "") == "{{item}}") =>
            {
                let names = list.try_iter().into_iter().flatten();
                names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Compiles the templates of one playbook.
pub(super) struct Compiler<'a> {
    document: Document<'a>,
    pub(super) engine: Engine,
    pub(super) steps: &'a [StepDraft],
    /// For each step, the places of all steps that it needs, directly or not.
    ancestors: Vec<Vec<usize>>,
}

/// Compiles all templates; returns the report's source too, because it has a default.
pub(super) fn compile(
    document: Document<'_>,
    report: Option<Located<String>>,
    steps: &[StepDraft],
) -> Result<(String, Compiled), PlaybookError> {
    let ancestors = ancestors(steps);
    let mut compiler = Compiler { document, engine: Engine::new(), steps, ancestors };
    let mut plans = (0..steps.len()).map(|place| compiler.step(place)).collect::<Result<Vec<_>, _>>()?;
    count_rounds(steps, &mut plans);
    let all: Vec<usize> = (0..steps.len()).collect();
    let report = report.unwrap_or_else(|| Located { value: default_report(steps), at: 0..0 });
    let place = Place { what: "`report`", item: false, agent: false };
    let mut report_uses = Uses::default();
    let text = compiler.text("report", &report.value, &report.at, (place, &all), &mut report_uses)?;
    Ok((report.value, Compiled { engine: compiler.engine, steps: plans, report: text, report_uses }))
}

/// For each step, what it needs directly or through others.
fn ancestors(steps: &[StepDraft]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::with_capacity(steps.len());
    for draft in steps {
        let mut own: Vec<usize> = Vec::new();
        for need in direct(steps, &draft.step) {
            own.push(need);
            own.extend(all.get(need).into_iter().flatten());
        }
        own.sort_unstable();
        own.dedup();
        all.push(own);
    }
    all
}

/// Counts for each step the asks on the longest way from it to the end; steps that need others come after them.
fn count_rounds(steps: &[StepDraft], plans: &mut [StepPlan]) {
    for place in (0..plans.len()).rev() {
        let after = plans.iter().filter(|plan| plan.needs.contains(&place)).map(|plan| plan.rounds).max().unwrap_or(0);
        let own = steps.get(place).is_some_and(|draft| draft.step.kind == Kind::Ask);
        if let Some(plan) = plans.get_mut(place) {
            plan.rounds = after + u32::from(own);
        }
    }
}

fn direct(steps: &[StepDraft], step: &Step) -> Vec<usize> {
    let place = |need: &String| steps.iter().position(|other| other.step.id == *need);
    step.needs.iter().filter_map(place).collect()
}

/// What the last step of the file answered.
fn default_report(steps: &[StepDraft]) -> String {
    match steps.iter().max_by_key(|draft| draft.prompt.start) {
        None => String::new(),
        Some(last) if last.step.for_each.is_none() => format!("{{{{ steps.{}.text }}}}", last.step.id),
        Some(last) => {
            let id = &last.step.id;
            format!(
                "{{% for answer in steps.{id}.answers %}}## {{{{ answer.title }}}}\n\n{{{{ answer.text }}}}\n\n{{% endfor %}}"
            )
        }
    }
}

impl Compiler<'_> {
    fn step(&mut self, place: usize) -> Result<StepPlan, PlaybookError> {
        let steps = self.steps;
        let Some(draft) = steps.get(place) else {
            return Err(self.document.refuse(0, "a step is out of place"));
        };
        let step = &draft.step;
        let known = self.ancestors.get(place).cloned().unwrap_or_default();
        let item = step.for_each.is_some();
        let what = |part: &str| format!("step `{}`: `{part}`", step.id);
        let mut uses = Uses::default();
        let for_each = match (&step.for_each, &draft.for_each) {
            (Some(source), Some(at)) => {
                let place = Place { what: &what("for_each"), item: false, agent: false };
                let list = self.expression(source, at, (place, &known), &mut uses)?;
                if let Expression::Constant(constant) = &list
                    && constant.kind() != minijinja::value::ValueKind::Seq
                {
                    return Err(self.document.refuse(at.start, format!("{} is not a list", place.what)));
                }
                Some(list)
            }
            _ => None,
        };
        let mut when_uses = Uses::default();
        let when = match (&step.when, &draft.when) {
            (Some(source), Some(at)) => {
                let place = Place { what: &what("when"), item, agent: false };
                Some(self.expression(source, at, (place, &known), &mut when_uses)?)
            }
            _ => None,
        };
        let when_each = when_uses.item;
        uses.join(&when_uses);
        let agent = match (&step.agent, &draft.agent) {
            (Some(source), Some(at)) => {
                let place = Place { what: &what("agent"), item, agent: false };
                let text = self.text(&format!("{}.agent", step.id), source, at, (place, &known), &mut uses)?;
                if let Text::Constant(name) = &text
                    && !is_name(name)
                {
                    let reason = format!("{}: {name:?} is not an agent's name", place.what);
                    return Err(self.document.refuse(at.start, reason));
                }
                Some(text)
            }
            _ => None,
        };
        let agent_known = agent.is_some();
        let place = Place { what: &what(if agent_known { "prompt" } else { "script" }), item, agent: agent_known };
        let name = format!("{}.prompt", step.id);
        let prompt = self.text(&name, &step.prompt, &draft.prompt, (place, &known), &mut uses)?;
        let title_at = draft.title.clone().unwrap_or_else(|| draft.at.clone());
        let place = Place { what: &what("title"), item, agent: agent_known };
        let title = self.text(&format!("{}.title", step.id), &step.title, &title_at, (place, &known), &mut uses)?;
        Ok(StepPlan { needs: direct(steps, step), title, agent, prompt, for_each, when, when_each, uses, rounds: 0 })
    }

    fn text(
        &mut self,
        name: &str,
        source: &str,
        at: &Range<usize>,
        place: (Place<'_>, &[usize]),
        uses: &mut Uses,
    ) -> Result<Text, PlaybookError> {
        let (text, mentions) = self.engine.text(name, source).map_err(|misfit| self.misfit(at, place.0, &misfit))?;
        self.mentions(source, at, place, mentions, uses)?;
        Ok(text)
    }

    fn expression(
        &self,
        source: &str,
        at: &Range<usize>,
        place: (Place<'_>, &[usize]),
        uses: &mut Uses,
    ) -> Result<Expression, PlaybookError> {
        let (compiled, mentions) =
            self.engine.expression(source).map_err(|misfit| self.misfit(at, place.0, &misfit))?;
        self.mentions(source, at, place, mentions, uses)?;
        Ok(compiled)
    }

    pub(super) fn misfit(&self, at: &Range<usize>, place: Place<'_>, misfit: &Misfit) -> PlaybookError {
        self.document.refuse_within(at, misfit.line, format!("{}: {}", place.what, misfit.reason))
    }
}
