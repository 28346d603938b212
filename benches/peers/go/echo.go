// Go's net: a goroutine per connection. THREADS is GOMAXPROCS.
package main

import (
	"log"
	"net"
	"os"
	"runtime"
	"strconv"
)

// A read and a write. io.Copy would splice through a pipe, which costs more than copying does.
func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 16*1024)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		// Write writes all, with as many calls as that takes.
		if _, err = connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: IP PORT [THREADS]")
	}
	threads := 1
	if len(os.Args) > 3 {
		threads, _ = strconv.Atoi(os.Args[3])
	}
	runtime.GOMAXPROCS(threads)
	// Go sets SO_REUSEADDR and TCP_NODELAY on its own.
	listener, err := net.Listen("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(connection)
	}
}
