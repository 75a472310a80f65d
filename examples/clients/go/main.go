// submit SPEC KEY: a job through go-redis alone. Prints its log, then how it ended.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// must ends the program on an error; redis.Nil only says that the log has nothing new.
func must[T any](value T, err error) T {
	if err != nil && err != redis.Nil {
		log.SetFlags(0)
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx, queue := context.Background(), os.Getenv("STOKER_QUEUE")
	if queue == "" {
		queue = "default"
	}
	client, base := redis.NewClient(must(redis.ParseURL(os.Getenv("REDIS_URL")))), "stoker:{"+queue+"}:"
	job := must(client.FCall(ctx, "stoker_submit", []string{base + "meta"}, os.Args[1], os.Args[2]).Text())
	n, seen, more := job[strings.LastIndex(job, "-")+1:], map[string]string{}, true
	read := redis.XReadArgs{Streams: []string{base + "log:" + n, "0"}, Count: 1, Block: time.Second / 2}
	for more || seen["state"] == "waiting" || seen["state"] == "queued" || seen["state"] == "running" {
		// The state is read before the log: once it is final, no line is still to come.
		seen = must(client.HGetAll(ctx, base+"job:"+n).Result())
		news := must(client.XRead(ctx, &read).Result())
		if more = len(news) > 0; more {
			read.Streams[1] = news[0].Messages[0].ID
			for name, text := range news[0].Messages[0].Values {
				if name != "time_ms" && name != "lines" {
					fmt.Println(text)
				}
			}
		}
	}
	fmt.Println(strings.TrimSuffix(job+" "+seen["state"]+": "+seen["error"], ": "))
	if seen["state"] != "succeeded" {
		os.Exit(1)
	}
}
