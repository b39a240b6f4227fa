-- A statement may begin or end in the middle of a day: such a day waits for one that has it whole, or for a person.
alter table statement_differences drop constraint statement_differences_kind_check;
alter table statement_differences add constraint statement_differences_kind_check
    check (kind in ('MISSING', 'DIFFERS', 'EXTRA', 'BALANCE', 'PARTIAL'));
