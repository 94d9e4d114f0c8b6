// A worker on the client that `examples/clients/generate go` makes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"flowlord.example/worker/client"
)

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	config := client.NewConfiguration()
	config.Servers = client.ServerConfigurations{{URL: env("FLOWLORD_SERVER", "http://127.0.0.1:8080")}}
	if token := os.Getenv("FLOWLORD_TOKEN"); token != "" {
		config.AddDefaultHeader("Authorization", "Bearer "+token)
	}
	work, ctx := client.NewAPIClient(config).WorkAPI, context.Background()
	wanted := client.NewLease([]string{env("TOPIC", "load")}, fmt.Sprintf("go-%d", os.Getpid()))
	wait := "20s"
	wanted.Wait = &client.LeaseWait{String: &wait}
	for {
		leased, _, err := work.PostApiV1Lease(ctx).Lease(*wanted).Execute()
		if err != nil {
			log.Fatal(err)
		}
		for _, item := range leased.Tasks {
			// Here is the work. Longer work sends heartbeats: PostApiV1LeaseLeaseHeartbeat.
			log.Println("working on", item.Task.Type, item.Task.Info)
			done := client.NewResult("complete")
			done.SetMsg("by the Go client")
			if _, _, err := work.PostApiV1LeaseLeaseResult(ctx, item.Lease).Result(*done).Execute(); err != nil {
				log.Fatal(err)
			}
		}
	}
}
