module flowlord.example/worker

go 1.23
