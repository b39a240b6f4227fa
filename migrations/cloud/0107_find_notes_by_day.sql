-- What is to be reported of a day is asked of the documents themselves, not of what was taken in.
create index credit_note_issued on credit_notes (tenant_id, issued_at);
