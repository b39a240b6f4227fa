-- An index is read both ways: payments_by_day (0028) answers what this one does.
drop index payments_tenant_id_paid_at_idx;
