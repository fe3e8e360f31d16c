use super::*;

#[test]
fn a_program_that_is_not_one_is_refused() {
    let refused = |ops: &[Op]| Program::new(ops.to_vec()).unwrap_err();
    assert_eq!(refused(&[]), ProgramError::Empty);
    assert_eq!(refused(&[Op::Const(1.0)]), ProgramError::Result);
    assert_eq!(
        refused(&[Op::Bool(true), Op::Bool(true)]),
        ProgramError::Result
    );
    assert_eq!(refused(&[Op::Not]), ProgramError::Operand { at: 0 });
    assert_eq!(
        refused(&[Op::Const(1.0), Op::Bool(true), Op::Greater]),
        ProgramError::Operand { at: 2 },
        "H-67"
    );
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(
            refused(&[Op::Const(number)]),
            ProgramError::NotFinite { at: 0 }
        );
        assert_eq!(
            refused(&[Op::HoldOffset(number)]),
            ProgramError::NotFinite { at: 0 }
        );
    }
    assert_eq!(
        refused(&[Op::Const(1.0); EXPRESSION_DEPTH_MAX + 1]),
        ProgramError::TooDeep {
            at: EXPRESSION_DEPTH_MAX
        }
    );
    assert_eq!(
        refused(&vec![Op::Bool(true); EXPRESSION_OPS_MAX + 1]),
        ProgramError::TooManyOps {
            received: EXPRESSION_OPS_MAX + 1
        }
    );
}

#[test]
fn slots_are_checked_against_the_lane() {
    let program = Program::new(vec![Op::Slot(3), Op::Const(1.0), Op::Greater]).unwrap();
    assert_eq!(program.check(4), Ok(()));
    assert_eq!(
        program.check(3),
        Err(ProgramError::Slot {
            at: 0,
            received: 3,
            slots: 3
        }),
        "H-48"
    );
    assert_eq!((program.depth(), program.fuel()), (2, 1 + 11 + 1 + 12));
}

#[test]
fn a_stored_program_is_verified_when_it_is_read() {
    let program = Program::new(vec![Op::Slot(0), Op::Const(7.1), Op::Greater]).unwrap();
    let bytes = postcard::to_stdvec(&program).unwrap();
    assert_eq!(postcard::from_bytes::<Program>(&bytes).unwrap(), program);
    let forged = postcard::to_stdvec(&vec![Op::Slot(0), Op::Const(f64::NAN), Op::Greater]).unwrap();
    assert!(postcard::from_bytes::<Program>(&forged).is_err(), "H-67");
    let forged = postcard::to_stdvec(&vec![Op::And]).unwrap();
    assert!(postcard::from_bytes::<Program>(&forged).is_err(), "H-67");
}

#[test]
fn truth_values_and_their_codes_agree() {
    for tri in [Tri::False, Tri::True, Tri::Bad] {
        assert_eq!(Tri::from_code(tri.code()), Some(tri));
    }
    assert_eq!(Tri::from_code(3), None);
    assert_eq!(Tri::from_code(-1), None);
}
