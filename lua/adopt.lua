-- stoker_adopt <n> <uid> <token> <worker>: this worker looks after the attempt from now on; one that was reaped as lost
-- and that nobody claimed since is taken back.
do
    local function adopt(keys, args)
        no_more_arguments(args, 4)
        local q = queue_open(keys)
        local worker = want_worker(args[4])
        expect_queue_types(q)
        local j = attempt_fenced(q, args)
        if j.f.state ~= 'running' then
            job_set(j, 'worker', worker)
            attempt_take_back(q, j)
        elseif j.f.worker ~= worker then
            job_set(j, 'worker', worker)
            lane_claim(q, j)
            job_clear(j, 'lost')
            event_note(q, j, 'job.adopted', 'state', 'running', 'worker', worker)
        end
        job_save(q, j)
        queue_flush(q)
        return {'ok', j.f.stop or 'ok', j.f.stop_reason or ''}
    end

    register('adopt', adopt, 'allow-oom')
end
