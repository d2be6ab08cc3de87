-- Notes the file that a batch's items were uploaded as. $1 id  $2 hold  $3 file
update batches
set input_file = $3::text
where id = $1::uuid and hold = $2::integer and state = 'submitting' and remote_id is null
returning id
