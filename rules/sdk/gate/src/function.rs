//! Limits of one function's body.

use rt_config::limits::{
    ANALYZER_BRANCHES_MAX, ANALYZER_CODE_BYTES_MAX, ANALYZER_FUNCTION_BYTES_MAX,
    ANALYZER_LOCALS_MAX, ANALYZER_NESTING_MAX,
};
use wasmparser::{FunctionBody, Operator};

use crate::{Counts, Refusal, Rule, refusal::refuse};

/// Whether the body keeps its limits; counts it. What cannot be read is left to the validator, which says why.
pub(crate) fn check(
    body: &FunctionBody<'_>,
    params: u32,
    counts: &mut Counts,
) -> Result<(), Refusal> {
    let range = body.range();
    let bytes = range.end.saturating_sub(range.start);
    if usize::try_from(bytes).map_or(true, |bytes| bytes > ANALYZER_FUNCTION_BYTES_MAX) {
        return Err(refuse(
            Rule::Code,
            range.start,
            format!("a function of {bytes} bytes; at most {ANALYZER_FUNCTION_BYTES_MAX}"),
        ));
    }
    counts.code_bytes = counts.code_bytes.saturating_add(bytes);
    if usize::try_from(counts.code_bytes).map_or(true, |bytes| bytes > ANALYZER_CODE_BYTES_MAX) {
        return Err(refuse(
            Rule::Code,
            range.start,
            format!("functions of more than {ANALYZER_CODE_BYTES_MAX} bytes together"),
        ));
    }
    counts.code_bytes_max = counts.code_bytes_max.max(bytes);
    check_locals(body, params, counts)?;
    check_operators(body, counts)
}

fn check_locals(body: &FunctionBody<'_>, params: u32, counts: &mut Counts) -> Result<(), Refusal> {
    let mut locals = params;
    if let Ok(groups) = body.get_locals_reader() {
        for group in groups {
            let Ok((count, _)) = group else { break };
            locals = locals.saturating_add(count);
        }
    }
    if locals > ANALYZER_LOCALS_MAX {
        return Err(refuse(
            Rule::Locals,
            body.range().start,
            format!(
                "a function with {locals} locals and parameters; at most {ANALYZER_LOCALS_MAX}"
            ),
        ));
    }
    counts.locals_max = counts.locals_max.max(locals);
    Ok(())
}

fn check_operators(body: &FunctionBody<'_>, counts: &mut Counts) -> Result<(), Refusal> {
    let Ok(mut operators) = body.get_operators_reader() else {
        return Ok(());
    };
    let mut depth = 0_u32;
    while let Ok((operator, offset)) = operators.read_with_offset() {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                depth = depth.saturating_add(1);
                counts.nesting_max = counts.nesting_max.max(depth);
                if depth > ANALYZER_NESTING_MAX {
                    return Err(refuse(
                        Rule::Nesting,
                        offset,
                        format!("blocks {depth} deep; at most {ANALYZER_NESTING_MAX}"),
                    ));
                }
            }
            Operator::End => depth = depth.saturating_sub(1),
            Operator::BrTable { targets } => {
                counts.branches_max = counts.branches_max.max(targets.len());
                if targets.len() > ANALYZER_BRANCHES_MAX {
                    return Err(refuse(
                        Rule::Branches,
                        offset,
                        format!(
                            "a `br_table` of {} targets; at most {ANALYZER_BRANCHES_MAX}",
                            targets.len()
                        ),
                    ));
                }
            }
            Operator::MemoryGrow { .. } => {
                return Err(refuse(Rule::Growth, offset, "`memory.grow`"));
            }
            Operator::TableGrow { .. } => {
                return Err(refuse(Rule::Growth, offset, "`table.grow`"));
            }
            _ => {}
        }
    }
    Ok(())
}
